// Package control lets operators look after a data directory that another
// process has in hand: pull its safety levers, save, prune, roll back.
//
// The process that holds a directory's lock runs a [Server], which listens on
// the socket SocketName in it. A [Client] asks that process; a [Direct] does
// the same where the caller holds the lock itself. Both are an [Operator].
//
// # What is promised
//
// What an Operator answered is durable, and the owner's next batch obeys it.
// Who asked is what the kernel says of the peer, never what the peer says. Only
// the owner's user and root are answered, and a client speaks to nobody else
// either. Requests are bounded and decoded strictly; what is not understood is
// refused whole.
//
// # How it fails
//
// A failure of the owner is a *RemoteError with the exit code that the same
// failure has there. ErrNoOwner says that nobody listens, and so that nothing
// was done: the owner is only starting, ending, or gone. Whatever breaks off
// later leaves unknown whether the owner did what it was asked, and says so.
//
// # The protocol
//
// HTTP over the socket. Every request is a POST with a JSON object, one of the
// types of requests here, to /v1/levers, /v1/alarm, /v1/save, /v1/prune,
// /v1/restore, /v1/rollback, /v1/release, /v1/ask, /v1/decide or /v1/log-level. The answer has
// status 200 and the type of the result, or another status and
// {"error": text, "code": exit code}.
package control
