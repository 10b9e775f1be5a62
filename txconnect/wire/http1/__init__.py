"""
HTTP/1.1 and 1.0: parsers of heads and contents, and writers of requests and answers.
"""
