from only import exampleOnly

from txconnect import Allow, Deny
from txconnect.testing import decide


def test_exampleOnly():
    assert decide(exampleOnly, "WWW.example.com.:443") == Allow()
    assert isinstance(decide(exampleOnly, "notexample.com:443"), Deny)
