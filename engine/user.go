package engine

import (
	"fmt"
	"os/user"
	"strconv"
)

// UserName is how a user is written down: the name, or "uid N" when the system
// knows none.
func UserName(uid uint32) string {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil || u.Username == "" {
		return fmt.Sprintf("uid %d", uid)
	}
	return u.Username
}
