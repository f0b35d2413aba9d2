package model

// Finding is what one step of a decision found, for explain and why.
type Finding struct {
	Step    string `json:"step"`
	Outcome string `json:"outcome"` // passed | refused | skipped | reported | set
	Detail  string `json:"detail"`
}

// Decision is one request's outcome, whole.
type Decision struct {
	Outcome  string    `json:"outcome"` // allowed | denied | error
	Status   int       `json:"status"`
	Code     Code      `json:"code"`
	Route    string    `json:"route"`
	User     string    `json:"user"`
	Revision int64     `json:"revision"`
	Steps    []Finding `json:"steps"`
	Remedy   string    `json:"remedy"`
}
