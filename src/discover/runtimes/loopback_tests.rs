//! Facts about runtimes' tasks. In: fake runtimes on unix sockets. Out: events and states.
