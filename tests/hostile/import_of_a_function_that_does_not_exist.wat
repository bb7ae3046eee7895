;; load validate bad_exports
;; prelude
;; wit write: func(level: level, message: string); => write: func(level: level, message: string); wipe: func();
(import "octroi:policy/log@0.1.0" "wipe" (func $wipe))
(func (export "octroi:policy/pre-check@0.1.0#evaluate") (param i32) (result i32) (call $wipe) (i32.const 1024))
