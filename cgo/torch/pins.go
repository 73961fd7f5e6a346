package torch

import (
	"runtime"
	"unsafe"
)

// pins keeps Go memory in place while C memory holds its address. It is used
// again from call to call: a runtime.Pinner allocates once it holds more than
// five objects, so each of these holds fewer.
type pins struct {
	pinners []runtime.Pinner
	count   int
}

const pinsEach = 4

func (p *pins) pin(address unsafe.Pointer) {
	if address == nil {
		return
	}
	i := p.count / pinsEach
	if i == len(p.pinners) {
		p.pinners = append(p.pinners, runtime.Pinner{})
	}
	p.pinners[i].Pin(address)
	p.count++
}

func (p *pins) unpin() {
	for i := range (p.count + pinsEach - 1) / pinsEach {
		p.pinners[i].Unpin()
	}
	p.count = 0
}
