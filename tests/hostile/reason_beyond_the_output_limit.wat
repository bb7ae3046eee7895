;; evaluate output_limit
;; prelude without memory
(memory (export "memory") 34)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (i32.store8 (i32.const 1028) (i32.const 1))
  (i32.store (i32.const 1032) (i32.const 65536))
  (i32.store (i32.const 1036) (i32.const 2097152))
  (i32.const 1024))
