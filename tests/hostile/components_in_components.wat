;; load snapshot not_freezable
;; behind a component
;; repeat 20
(component (component (core module (memory 100) (func (loop (br 0))))))
;; end
