;; load instantiate guest_failed
;; prelude without memory
;; 40 MiB each, 64 MiB allowed
(memory (export "memory") 640)
(memory 640)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
