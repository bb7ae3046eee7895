;; load validate import_refused
;; prelude
;; wit world pre-check-policy { => interface secrets { read: func() -> u32; } world pre-check-policy { import secrets;
(import "octroi:policy/secrets@0.1.0" "read" (func $read (result i32)))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (call $read))
