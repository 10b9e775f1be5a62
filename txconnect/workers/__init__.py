"""
Worker processes: several of them accept from the same listening sockets.

The parent binds the ports, judges them, and starts the workers; it accepts
nothing and runs no plugin.  Each worker is a proxy of its own, with its own
plugin objects, made from the same command line.  Between the two there is a
pair of pipes, L{txconnect.workers.messages}, over which a worker gets all that
it has to know: what a command line or an environment holds, others can read.

L{crew<txconnect.workers.crew>} and L{member<txconnect.workers.member>} are
the parent's side, L{worker<txconnect.workers.worker>} is the other.
"""
