;; load validate bad_exports
;; prelude without log
;; wit write: func(level: level, message: string); => write: func(message: string);
(import "octroi:policy/log@0.1.0" "write" (func $log (param i32 i32)))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (call $log (i32.const 4096) (i32.const 1)) (i32.const 1024))
