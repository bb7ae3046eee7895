;; evaluate bad_host_call
;; prelude
;; wit world pre-check-policy { => world pre-check-policy { import clock; import counters;
;; manifest capabilities: [counters]
(import "octroi:policy/counters@0.1.0" "add" (func $add (param i32 i32 i64 i64) (result i64)))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (drop (call $add (i32.const 4096) (i32.const 61440) (i64.const 1) (i64.const 60))) (i32.const 1024))
