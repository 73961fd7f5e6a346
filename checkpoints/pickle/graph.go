package pickle

import (
	"errors"
	"fmt"
)

// node is a container during the walk: its children and how far the walk has come.
type node struct {
	id       Value
	children []Value
	next     int
	height   int
}

// checkGraph refuses cycles and nesting deeper than limit. It walks with a stack of its own, so that deep nesting
// cannot exhaust the goroutine's, and visits each shared container once.
func checkGraph(root Value, limit int) error {
	const open = -1
	heights := make(map[Value]int) // open while on the path, then the height
	var path []node
	enter := func(v Value) (int, error) {
		children, container := childrenOf(v)
		if !container {
			return 0, nil
		}
		if h, seen := heights[v]; seen {
			if h == open {
				return 0, errors.New("a container holds itself")
			}
			return h, nil
		}
		if len(path) >= limit {
			return 0, fmt.Errorf("nested deeper than %d", limit)
		}
		heights[v] = open
		path = append(path, node{id: v, children: children, height: 1})
		return 0, nil
	}
	if _, err := enter(root); err != nil {
		return err
	}
	for len(path) > 0 {
		n := &path[len(path)-1]
		if n.next < len(n.children) {
			child := n.children[n.next]
			n.next++
			at := len(path)
			h, err := enter(child)
			if err != nil {
				return err
			}
			// enter may have moved the path, so n is looked up again.
			path[at-1].height = max(path[at-1].height, h+1)
			continue
		}
		if n.height > limit {
			return fmt.Errorf("nested deeper than %d", limit)
		}
		heights[n.id] = n.height
		h := n.height
		if path = path[:len(path)-1]; len(path) > 0 {
			parent := &path[len(path)-1]
			parent.height = max(parent.height, h+1)
		}
	}
	return nil
}

// childrenOf lists what a container holds; the second result tells whether v is one. All containers are pointers,
// so they can be keys of a map.
func childrenOf(v Value) ([]Value, bool) {
	switch v := v.(type) {
	case *List:
		return v.Items, true
	case *Tuple:
		return v.Items, true
	case *Set:
		return v.Items, true
	case *Deque:
		return v.Items, true
	case *Record:
		if v.Fields == nil {
			return nil, true
		}
		return []Value{v.Fields}, true
	case *Dict:
		// Keys hold nothing that could lead back: they are scalars or tuples of scalars.
		children := make([]Value, 0, len(v.entries)+1)
		for _, e := range v.entries {
			children = append(children, e.Value)
		}
		if v.State != nil {
			children = append(children, v.State)
		}
		return children, true
	case *Call:
		children := []Value{v.Args, v.State}
		children = append(children, v.Items...)
		for _, e := range v.Pairs {
			children = append(children, e.Key, e.Value)
		}
		return children, true
	case Parent:
		return v.Children(), true
	}
	return nil, false
}
