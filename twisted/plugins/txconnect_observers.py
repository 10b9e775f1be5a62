"""
The stock observers, by name.  What makes them is imported when one is asked for.
"""

from txconnect.plugins import observerFactory

accesslog = observerFactory(
    "accesslog",
    "Append one line for each refusal and each closed tunnel; - is standard output.",
    "txconnect.observers.accesslog:AccessLog.fromItems",
    "PATH|-[,format=json|text]",
)
counters = observerFactory(
    "counters",
    "Count tunnels, refusals by cause, and bytes.",
    "txconnect.observers.counters:Counters",
)
