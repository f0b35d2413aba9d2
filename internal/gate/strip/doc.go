// Package strip guards the identity namespace: it decides which of a request's
// header fields go no further, comparing names after folding (model.Fold), and
// reports attempts to forge an identity.
//
// It neither authenticates nor adds anything; the gate's strip step calls it
// before every other step.
package strip
