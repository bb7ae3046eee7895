;; passes
;; prelude
;; a rule, a category and a tag that would clear a terminal, or begin a line of their own
(data (i32.const 2048) "\1b[2J\0d\0aforged")
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (i32.store (i32.const 4096) (i32.const 2048))
  (i32.store (i32.const 4100) (i32.const 12))
  (i32.store (i32.const 4104) (i32.const 2048))
  (i32.store (i32.const 4108) (i32.const 12))
  (i32.store (i32.const 1040) (i32.const 4096))
  (i32.store (i32.const 1044) (i32.const 1))
  (i32.store (i32.const 1076) (i32.const 4096))
  (i32.store (i32.const 1080) (i32.const 1))
  (i32.const 1024))
