;; load instantiate guest_failed
;; prelude without memory
(memory (export "memory") 16384)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
