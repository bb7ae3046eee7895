;; evaluate trap
;; prelude
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
(func (export "cabi_post_octroi:policy/pre-check@0.1.0#evaluate") (param i32)
  (call $log (i32.const 1) (i32.const 4096) (i32.const 1)))
