package access

import "fmt"

// Action is what a device wants to do with a topic or filter.
type Action uint8

// The actions.
const (
	Publish Action = iota
	Subscribe
)

const lastAction = uint8(Subscribe)

func (a Action) known() bool { return uint8(a) <= lastAction }

// String is the action's verb, which is its name in rules.
func (a Action) String() string {
	switch a {
	case Publish:
		return "publish"
	case Subscribe:
		return "subscribe"
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// ParseAction reads what String writes.
func ParseAction(name string) (Action, error) {
	for a := range lastAction + 1 {
		if Action(a).String() == name {
			return Action(a), nil
		}
	}
	return 0, fmt.Errorf("%q is no action: write publish or subscribe", name)
}
