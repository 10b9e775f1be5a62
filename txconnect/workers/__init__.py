"""
Worker processes: several of them accept from the same listening sockets.

The parent binds the ports, checks them, and starts the workers; it accepts
nothing and runs no plugin.  Each worker is a complete proxy, with its own
plugin objects, built from the same
L{Configuration<txconnect.configuration.Configuration>}.  Between the two there
is one L{channel<txconnect.workers.channel>}, over which a worker gets its whole
configuration: other users can read a command line or an environment.

L{supervisor<txconnect.workers.supervisor>}, L{slot<txconnect.workers.slot>} and
L{process<txconnect.workers.process>} are the parent's side,
L{worker<txconnect.workers.worker>} is the other.

The parent's messages: C{start}, asked once, with the fields of a
L{WorkerConfig<txconnect.workers.config.WorkerConfig>}, and answered when the
worker accepts; C{reopen} and C{list}, answered when they are handled; C{stop}.
The worker's message: C{log}, with C{namespace}, C{level} and C{text}.
"""
