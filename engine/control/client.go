package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	maxAnswer     = 64 << 20        // in bytes: all approvals that can wait, whole, as JSON
	answerTimeout = 2 * time.Minute // far beyond a save or rollback of the largest memory
)

var _ Operator = (*Client)(nil)

// Client asks the process that owns a data directory. It holds nothing open
// between calls and is safe for concurrent use.
type Client struct{ dir string }

// NewClient makes a client of the data directory dir; it touches nothing.
func NewClient(dir string) *Client { return &Client{dir: dir} }

// Pull changes safety levers.
func (c *Client) Pull(ctx context.Context, r PullRequest) (*Safety, error) {
	return call[Safety](ctx, c, "/v1/levers", r)
}

// Alarm puts safe mode on.
func (c *Client) Alarm(ctx context.Context, r AlarmRequest) (*Safety, error) {
	return call[Safety](ctx, c, "/v1/alarm", r)
}

// Save writes a checkpoint.
func (c *Client) Save(ctx context.Context, r SaveRequest) (*Checkpoint, error) {
	return call[Checkpoint](ctx, c, "/v1/save", r)
}

// Prune drops all but the newest checkpoints.
func (c *Client) Prune(ctx context.Context, r PruneRequest) (*Pruned, error) {
	return call[Pruned](ctx, c, "/v1/prune", r)
}

// Restore takes in the memory of a checkpoint.
func (c *Client) Restore(ctx context.Context, r RestoreRequest) (*Replaced, error) {
	return call[Replaced](ctx, c, "/v1/restore", r)
}

// Rollback goes back to an older checkpoint.
func (c *Client) Rollback(ctx context.Context, r RollbackRequest) (*Replaced, error) {
	return call[Replaced](ctx, c, "/v1/rollback", r)
}

// Release takes outcomes out of the quarantine.
func (c *Client) Release(ctx context.Context, r ReleaseRequest) (*Released, error) {
	return call[Released](ctx, c, "/v1/release", r)
}

// Ask puts actions into the queue for approval.
func (c *Client) Ask(ctx context.Context, r AskRequest) (*Asked, error) {
	return call[Asked](ctx, c, "/v1/ask", r)
}

// Decide approves or denies actions in the queue.
func (c *Client) Decide(ctx context.Context, r DecideRequest) (*Decided, error) {
	return call[Decided](ctx, c, "/v1/decide", r)
}

// call sends a request on a connection of its own and decodes what came of it.
func call[Result any](ctx context.Context, c *Client, path string, request any) (result *Result, err error) {
	at, err := openSocket(c.dir)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	defer func() { err = errors.Join(err, at.close()) }()
	conn, err := at.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	defer conn.Close()
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	status, answer, err := exchange(ctx, conn, path, body)
	if err != nil {
		return nil, fmt.Errorf("the process that owns %s did not answer, and whether it did what was asked is not known: %w", c.dir, err)
	}
	if status != http.StatusOK {
		var f failure
		if err := json.Unmarshal(answer, &f); err != nil || f.Error == "" {
			return nil, fmt.Errorf("control socket: status %d, expected an answer of this program", status)
		}
		return nil, &RemoteError{Message: f.Error, Code: f.Code}
	}
	result = new(Result)
	if err := json.Unmarshal(answer, result); err != nil {
		return nil, fmt.Errorf("the process that owns %s did what was asked, its answer was not understood: %w", c.dir, err)
	}
	return result, nil
}

// exchange sends one request over a connection, which is of no use afterwards.
func exchange(ctx context.Context, conn net.Conn, path string, body []byte) (status int, answer []byte, err error) {
	transport := &http.Transport{
		DialContext:           func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives:     true,
		DisableCompression:    true,
		ResponseHeaderTimeout: answerTimeout,
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://owner"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.GetBody = nil // nothing is ever sent twice
	r.Header.Set("Content-Type", "application/json")
	response, err := transport.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	return response.StatusCode, answer, err
}

// Reach looks whether somebody listens for operators of the data directory dir,
// and says nothing to them; ErrNoOwner when nobody does.
func Reach(ctx context.Context, dir string) (err error) {
	at, err := openSocket(dir)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	defer func() { err = errors.Join(err, at.close()) }()
	conn, err := at.dial(ctx)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return conn.Close()
}
