;; passes
;; prelude without configure
;; what would colour, clear or rename a terminal, begin a line of its own, and turn the reading direction
(data (i32.const 2048) "\1b[31mred\1b]0;owned\07\0d\0a{\"level\":\"ERROR\"}\00\e2\80\aeend")
(func (export "octroi:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32)
  (call $log (i32.const 3) (i32.const 2048) (i32.const 44))
  (i32.const 1024))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32)
  (call $log (i32.const 0) (i32.const 2048) (i32.const 44))
  (call $log (i32.const 1) (i32.const 2048) (i32.const 44))
  (call $log (i32.const 2) (i32.const 2048) (i32.const 44))
  (call $log (i32.const 3) (i32.const 2048) (i32.const 44))
  (i32.const 1024))
