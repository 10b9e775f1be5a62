"""
The operator's requests to a running program, made by signals: open the logs
again, list the open tunnels, stop.

L{signals<txconnect.operating.signals>} catches the signals and knows nothing
of proxies; L{requests<txconnect.operating.requests>} says which signal asks
for what, and answers for the proxy of one process.  The parent of workers
passes the requests on (L{txconnect.workers.supervisor}).
L{stopping<txconnect.operating.stopping>} has SIGINT and SIGTERM stop it once.
"""
