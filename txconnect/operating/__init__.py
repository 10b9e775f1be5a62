"""
The operator's requests to a running program, made by signals: open the logs
again, list the open tunnels, stop.

L{signals<txconnect.operating.signals>} catches the signals and knows nothing
of proxies; L{requests<txconnect.operating.requests>} gives each signal its
request, and carries it out for the proxy of one process.  The parent of workers
passes the requests on (L{txconnect.workers.supervisor}).
L{stopping<txconnect.operating.stopping>} makes SIGINT and SIGTERM stop it once.
"""
