;; load validate import_refused
;; prelude
;; wit world pre-check-policy { => world pre-check-policy { import clock; import counters;
(import "octroi:policy/clock@0.1.0" "now" (func $now (result i64)))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (drop (call $now)) (i32.const 1024))
