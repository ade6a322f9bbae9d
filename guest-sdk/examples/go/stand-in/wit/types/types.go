// Package types stands in for the one that generated bindings name: what WIT has and Go has not, as far as the example wants it.
package types

const (
	OptionNone uint8 = 0
	OptionSome uint8 = 1

	ResultOk  uint8 = 0
	ResultErr uint8 = 1
)

// Option is a value or none.
type Option[T any] struct {
	tag   uint8
	value T
}

// Some is an option with a value.
func Some[T any](value T) Option[T] { return Option[T]{OptionSome, value} }

// None is an option without a value.
func None[T any]() Option[T] { return Option[T]{} }

// Tag is OptionNone or OptionSome.
func (option Option[T]) Tag() uint8 { return option.tag }

// IsSome says whether there is a value.
func (option Option[T]) IsSome() bool { return option.tag == OptionSome }

// Some is the value; there must be one.
func (option Option[T]) Some() T {
	if option.tag != OptionSome {
		panic("the option is none")
	}
	return option.value
}

// SomeOr is the value, or this one.
func (option Option[T]) SomeOr(instead T) T {
	if option.tag != OptionSome {
		return instead
	}
	return option.value
}

// Unit is nothing.
type Unit struct{}

// Result is a value or an error.
type Result[T, E any] struct {
	tag uint8
	ok  T
	err E
}

// Ok is a result with a value.
func Ok[T, E any](value T) Result[T, E] { return Result[T, E]{tag: ResultOk, ok: value} }

// Err is a result with an error.
func Err[T, E any](value E) Result[T, E] { return Result[T, E]{tag: ResultErr, err: value} }

// Tag is ResultOk or ResultErr.
func (result Result[T, E]) Tag() uint8 { return result.tag }

// Ok is the value; there must be one.
func (result Result[T, E]) Ok() T {
	if result.tag != ResultOk {
		panic("the result is an error")
	}
	return result.ok
}

// Err is the error; there must be one.
func (result Result[T, E]) Err() E {
	if result.tag != ResultErr {
		panic("the result is no error")
	}
	return result.err
}

// Tuple2 is two values.
type Tuple2[A, B any] struct {
	F0 A
	F1 B
}
