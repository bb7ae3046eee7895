;; load configure guest_failed
;; prelude without configure
;; wit world pre-check-policy { => world pre-check-policy { import clock; import counters;
;; manifest capabilities: [clock]
;; a moment would be frozen into the image
(import "octroi:policy/clock@0.1.0" "now" (func $now (result i64)))
(func (export "octroi:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32) (drop (call $now)) (i32.const 1024))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
