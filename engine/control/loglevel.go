package control

import (
	"context"
	"fmt"
)

// LogLevelRequest changes the level of a component's logger, or of all; empty,
// it asks for the levels only.
type LogLevelRequest struct {
	Component string `json:"component,omitzero"`
	Level     string `json:"level,omitzero"`
}

// LogLevels are those in force, by component.
type LogLevels struct {
	Levels map[string]string `json:"levels"`
}

// LogLevel changes what the process that owns the data directory logs.
func (c *Client) LogLevel(ctx context.Context, r LogLevelRequest) (*LogLevels, error) {
	return call[LogLevels](ctx, c, "/v1/log-level", r)
}

// setLogLevel is of this process, whose directory it does not touch.
func (s *Server) setLogLevel(r LogLevelRequest) (*LogLevels, error) {
	if s.logs == nil {
		return nil, &InputError{Reason: "log level: the levels of this process cannot be changed"}
	}
	if r != (LogLevelRequest{}) {
		if err := s.logs.SetLevel(r.Component, r.Level); err != nil {
			return nil, &InputError{Reason: fmt.Sprintf("log level: %v", err)}
		}
		s.logger.Warn("an operator changed what is logged", "component", r.Component, "level", r.Level)
	}
	return &LogLevels{Levels: s.logs.Levels()}, nil
}
