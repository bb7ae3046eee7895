;; evaluate time_limit
;; prelude
(func $one (param i32) (result i32) (return_call $two (local.get 0)))
(func $two (param i32) (result i32) (return_call $one (local.get 0)))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (return_call $one (local.get 0)))
