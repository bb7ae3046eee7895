;; passes
;; prelude without memory describe
;; 24 MB in the guest, several times that outside, of which a thousand rules are kept
(memory (export "memory") 400)
(func (export "octroi:policy/lifecycle@0.1.0#describe") (result i32)
  (i32.store (i32.const 2072) (i32.const 131072))
  (i32.store (i32.const 2076) (i32.const 1000000))
  (i32.const 2048))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
