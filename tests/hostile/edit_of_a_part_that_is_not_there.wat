;; evaluate bad_edit
;; prelude
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (i32.store8 (i32.const 1024) (i32.const 3))
  (i32.store (i32.const 1048) (i32.const 4096))
  (i32.store (i32.const 1052) (i32.const 1))
  (i32.store (i32.const 4100) (i32.const -1))
  (i32.const 1024))
