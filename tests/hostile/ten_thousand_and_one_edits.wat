;; evaluate bad_verdict
;; prelude without memory
;; manifest limits: { output: 16MiB, time: 1s }
(memory (export "memory") 10)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (i32.store8 (i32.const 1024) (i32.const 3))
  (i32.store (i32.const 1048) (i32.const 131072))
  (i32.store (i32.const 1052) (i32.const 10001))
  (i32.const 1024))
