;; load configure guest_failed
;; prelude without configure
;; wit world pre-check-policy { => world pre-check-policy { import clock; import counters;
;; manifest capabilities: [counters]
(import "octroi:policy/counters@0.1.0" "add" (func $add (param i32 i32 i64 i64) (result i64)))
(data (i32.const 4096) "loads")
(func (export "octroi:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32)
  (drop (call $add (i32.const 4096) (i32.const 5) (i64.const 1) (i64.const 60))) (i32.const 1024))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
