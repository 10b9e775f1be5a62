from only import exampleOnly

from txconnect.testing import decide
from txconnect.values import Allow, Deny


def test_exampleOnly():
    assert decide(exampleOnly, "WWW.example.com.:443") == Allow()
    assert isinstance(decide(exampleOnly, "notexample.com:443"), Deny)
