;; evaluate trap
;; prelude without realloc configure
;; only once it is configured
(global $configured (mut i32) (i32.const 0))
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
  (if (global.get $configured) (then (call $log (i32.const 1) (i32.const 4096) (i32.const 1))))
  (i32.const 8192))
(func (export "octroi:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32)
  (global.set $configured (i32.const 1))
  (i32.const 1024))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
