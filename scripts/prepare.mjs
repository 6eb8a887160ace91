console.log('prepare: nothing to build yet')
