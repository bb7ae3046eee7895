;; load encode invalid
;; prelude without memory
(memory (export "memory") 2 4 shared)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
