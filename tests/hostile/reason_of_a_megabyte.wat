;; passes
;; prelude without memory
;; manifest limits: { output: 4MiB }
;; a sentence of a mebibyte of escape characters: it is cut
(memory (export "memory") 34)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (memory.fill (i32.const 1048576) (i32.const 0x1b) (i32.const 1048576))
  (i32.store8 (i32.const 1028) (i32.const 1))
  (i32.store (i32.const 1032) (i32.const 1048576))
  (i32.store (i32.const 1036) (i32.const 1048576))
  (i32.const 1024))
