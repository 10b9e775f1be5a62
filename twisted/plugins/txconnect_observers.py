"""
The stock observers, by name.  What makes them is imported when one is asked for.
"""

from txconnect.plugins import observerFactory

accesslog = observerFactory(
    "accesslog",
    "Append one line for each of EVENTS: open, close, refuse, with + between them, by "
    "default refuse+close; - is standard output; required=yes refuses what cannot be logged.",
    "txconnect.observers.accesslog:AccessLog.fromItems",
    "PATH|-[,format=json|text][,events=EVENTS][,required=yes|no]",
)
console = observerFactory(
    "console",
    "Write one line for people for each event: what happens without any --observer.",
    "txconnect.observers.console:ConsoleLog.fromItems",
)
counters = observerFactory(
    "counters",
    "Count tunnels, refusals by cause, and bytes.",
    "txconnect.observers.counters:Counters",
)
