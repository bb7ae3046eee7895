;; evaluate trap
;; prelude
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (i32.store8 (i32.const 4112) (i32.const 77))
  (i32.store (i32.const 1040) (i32.const 4096))
  (i32.store (i32.const 1044) (i32.const 1))
  (i32.const 1024))
