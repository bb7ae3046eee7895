;; evaluate host_call_limit
;; prelude
;; wit world pre-check-policy { => world pre-check-policy { import clock; import counters;
;; manifest capabilities: [counters]
;; each call stands in the record: a thousand of them would make it large
(import "octroi:policy/counters@0.1.0" "add" (func $add (param i32 i32 i64 i64) (result i64)))
(data (i32.const 4096) "flood")
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (loop $again (drop (call $add (i32.const 4096) (i32.const 5) (i64.const 1) (i64.const 60))) (br $again)) (i32.const 1024))
