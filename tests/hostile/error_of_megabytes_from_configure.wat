;; load configure settings_refused
;; prelude without memory configure
(memory (export "memory") 520)
(data (i32.const 2048) "\01\00\00\00\00\00\02\00\00\00\e0\01")
(func (export "octroi:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32)
  (memory.fill (i32.const 131072) (i32.const 0x1b) (i32.const 31457280))
  (i32.const 2048))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
