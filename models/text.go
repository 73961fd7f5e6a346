package models

import "crypto/sha256"

// MaxHashWidth is the widest embedding that HashEmbedding can give: one
// number for each byte of a SHA-256.
const MaxHashWidth = sha256.Size

// HashEmbedding is the embedding of a text that needs no model: the first
// width bytes of its SHA-256, each divided by 255 (validator specification,
// section 8). It tells equal texts apart from others and carries no meaning:
// what it says about a text that was never recorded is chance. width is cut
// to MaxHashWidth.
func HashEmbedding(text string, width int) []float32 {
	sum := sha256.Sum256([]byte(text))
	embedding := make([]float32, min(width, MaxHashWidth))
	for i := range embedding {
		embedding[i] = float32(sum[i]) / 255
	}
	return embedding
}
