package rows

// Entry is one row of a batch, or the refusal of one.
type Entry struct {
	Row
	Err   *RowError // not nil: the row was refused; of Row only Number, Op and ID mean something
	start int       // of the embedding in the batch's numbers
}

// RowBatch is some rows in input order. It belongs to the caller until Release.
type RowBatch struct {
	Entries []Entry
	numbers []float32
	texts   int // bytes of actions, ids, sessions and sources
	owner   *Batcher
}

// Numbers are the embeddings of the rows that were not refused, one after another. When all have one width (validate and
// record of embeddings) they are a matrix, a row each.
func (b *RowBatch) Numbers() []float32 { return b.numbers }

// Release gives the batch back for reuse; its entries and numbers must not be used afterwards.
func (b *RowBatch) Release() { b.owner.release(b) }

// add copies what the reader owns.
func (b *RowBatch) add(row *Row, refusal *RowError) {
	e := Entry{Row: *row, Err: refusal, start: len(b.numbers)}
	e.Embedding = nil
	if refusal == nil {
		b.numbers = append(b.numbers, row.Embedding...)
		e.Embedding = row.Embedding // for its length; seal points it at the copy
	}
	b.texts += len(row.Action) + len(row.ID.text) + len(row.Session) + len(row.Source)
	b.Entries = append(b.Entries, e)
}

// seal makes the embeddings views of the numbers, which do not move any more.
func (b *RowBatch) seal() {
	for i := range b.Entries {
		e := &b.Entries[i]
		if e.Embedding != nil {
			end := e.start + len(e.Embedding)
			e.Embedding = b.numbers[e.start:end:end]
		}
	}
}

func (b *RowBatch) reset() {
	clear(b.Entries) // texts and errors are not kept alive
	b.Entries, b.numbers, b.texts = b.Entries[:0], b.numbers[:0], 0
}
