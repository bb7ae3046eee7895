;; evaluate bad_edit
;; prelude
;; `Gr` and `r`, each right by itself
(data (i32.const 2048) "Gr")
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (i32.store8 (i32.const 1024) (i32.const 3))
  (i32.store (i32.const 1048) (i32.const 4096))
  (i32.store (i32.const 1052) (i32.const 2))
  (i32.store (i32.const 4108) (i32.const 2))
  (i32.store (i32.const 4112) (i32.const 2048))
  (i32.store (i32.const 4116) (i32.const 2))
  (i32.store (i32.const 4136) (i32.const 1))
  (i32.store (i32.const 4140) (i32.const 2))
  (i32.store (i32.const 4144) (i32.const 2049))
  (i32.store (i32.const 4148) (i32.const 1))
  (i32.const 1024))
