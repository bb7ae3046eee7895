;; evaluate trap
;; prelude
(data (i32.const 2048) "\c3")
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (call $log (i32.const 1) (i32.const 2048) (i32.const 1)) (i32.const 1024))
