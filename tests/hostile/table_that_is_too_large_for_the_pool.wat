;; load link not_compilable
;; prelude
;; within `limits.memory`, beyond what the gateway's pool has for one table
(table 100000 funcref)
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (i32.const 1024))
