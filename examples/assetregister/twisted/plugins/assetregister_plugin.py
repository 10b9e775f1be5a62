"""What Twisted finds: a name, and where its class is."""

from txconnect import policyFactory

registeredHosts = policyFactory(
    "registered-hosts",
    "Allow only hosts that a file names.",
    "assetregister:RegisterPolicy",
    argumentHelp="PATH",
)
