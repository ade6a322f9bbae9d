// Package runtime stands in for the one that generated bindings name: memory that crosses the border.
package runtime

import (
	"runtime"
	"unsafe"
)

// What the host has written and no handler has taken over yet.
var written runtime.Pinner

// Allocate gives memory that stays where it is until the pinner lets go.
func Allocate(pinner *runtime.Pinner, size, align uintptr) unsafe.Pointer {
	if size == 0 {
		return nil
	}
	// Words of eight bytes are aligned for everything that crosses.
	memory := unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
	pinner.Pin(memory)
	return memory
}

// Unpin is called once the values of a call are in Go's hands: from then on they live as long as they are used.
func Unpin() {
	written.Unpin()
}

//go:wasmexport cabi_realloc
func reallocate(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	memory := Allocate(&written, uintptr(size), uintptr(align))
	if old != nil && memory != nil {
		copy(unsafe.Slice((*byte)(memory), size), unsafe.Slice((*byte)(old), min(oldSize, size)))
	}
	return memory
}
