;; load validate bad_exports
;; whole
(component
(instance $i)
;; repeat 900
(export "evil:many/interface-{i}@1.0.0" (instance 0))
;; end
)
